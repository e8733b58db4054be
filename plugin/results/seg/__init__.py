"""The Segmentation of a CT: lungs and findings."""
