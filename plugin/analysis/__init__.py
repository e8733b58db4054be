"""Numerical steps: numpy in, numpy out. Knows neither DICOM nor Orthanc nor the rest of the package."""
