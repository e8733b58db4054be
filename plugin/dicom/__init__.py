"""DICOM headers and pixel data as text, numbers and arrays with geometry."""
