"""OpenVINO on CPUs: fp32, bf16 and int8 by NNCF."""
