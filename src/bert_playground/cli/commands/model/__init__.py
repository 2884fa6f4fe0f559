"""bert model …: inspect, calibrate, quantize, merge and export models."""
