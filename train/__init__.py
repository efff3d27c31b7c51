# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Training of SceneDINO models: two stages, started by the commands in this folder.

`docs/training.md` says how to use them. To read the code, begin with a command, whose `fit` is the
whole training loop, and follow its imports:

1. `train_field` (stage 1: geometry and features) and in `train.field`: `settings`; `items`, which
   images make up an item; `data`, their tensors and the draws of a step; `rays`, the ray patches;
   `model`, what is trained, from items to losses; `reference_step`, the rendering of ray patches
   as specified; `step`, the same with less work, which training runs; `resident_step`, that for a
   GPU with all images in its memory (`resident`); `losses`. The others serve these: `choice`,
   `chosen_views` and `batches` make the batches; `sparse_decoder`, `downsampler`; `precompute`
   with `feature_cache`, `depth_hints`, `plane_sweep` and `frame_arrays`, computed once and kept on
   disk; `encoded_view` and `pictures` for validation; `benchmark`.
2. `train_semantics` (stage 2: classes) and in `train.semantics`: `settings`; `data`, images and
   draws; `frozen_field`, the field of stage 1; `crops`, points around surfaces; `step_features`,
   what a step learns from; `distillation`, the losses; `model`, what is trained;
   `rendered_pixels`, `clustering` and `scores`, how clusters are found, named and scored;
   `benchmark`.
3. `train.runs`, what both share: `run` shows with an example how a loop uses a run's folder.
   `settings`, `launch` (processes, signals), `prefetch`, `randomness`, `state` (save and resume),
   `records` (metrics, TensorBoard), `nonfinite`, `origin`, `stores`, `nested`.

`coarsen`, `average` and `release` make a checkpoint of others; `benchmark_field` and
`benchmark_semantics` time the steps.
"""
