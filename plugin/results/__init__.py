"""What was found, and the DICOM objects that say it: SR, SEG, PDF, attention map."""
