"""Classes of images: segmentation by clusters."""
