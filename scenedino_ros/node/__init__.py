# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The ROS 2 node: the only room that imports rclpy, beside the demo's and benchmark's processes.

The path of an image, in the order in which to read it:

    main            the command: starts ROS and the node, and ends them after Ctrl-C
    managed_node    the lifecycle: loads the network, opens and closes the pipeline, reports
    pipeline        what exists while the node is active: cameras, TF, the worker
    camera_input    one camera: its topics, its calibration, and what is counted about it
    pairing         which CameraInfo belongs to which image
    mailbox         where the newest frame of each camera waits for its turn
    worker          takes the newest frame of each camera in turn
    compute_thread  the one thread that computes with tensors
    processor       one frame: decodes, looks up TF, asks the predictor, publishes
    node_map        the rolling map that all frames are fused in: publishes, resets, saves it
    similarity      compares the voxels of the latest frame with a point that is asked for
    services        what may be asked of the node while it is active
    outputs         the publishers of the table in core/outputs.py, and which have subscribers

What these use:

    access          security (why SROS 2 cannot be used)
    parameters      params, placement (where the voxel grid is)
    inputs          inputs, calibration_topic, image_reader, stamp_gaps (images that got lost),
                    alternation (several cameras on one topic), cadence (when the next image is
                    due), point_topics (points that the voxels are compared with)
    TF              transform_source, view_frame, tf_message_type, tf_type_support
    messages        to_msg, marker_cdr, message_types
    diagnostics     statistics, skip_log, failures, health, diagnostics, start_times
    process         interrupt, log_files, shared_memory, rclpy_private, ament_packages
"""
