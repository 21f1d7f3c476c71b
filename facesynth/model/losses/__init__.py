"""Loss terms and metrics: pictures, latents or scores in, one number out."""
