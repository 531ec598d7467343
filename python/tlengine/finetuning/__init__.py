"""Fine-tuning: what is trained of a backbone, and how."""
