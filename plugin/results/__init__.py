"""The DICOM objects that report what was found: SR, SEG, PDF, attention map, key images."""
