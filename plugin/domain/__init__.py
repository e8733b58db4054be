"""What is found, said and kept of a series, in plain types. Knows nothing of DICOM, ONNX or Orthanc."""
