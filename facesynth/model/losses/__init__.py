"""Loss terms and metrics: pictures, latents or discriminator scores in, scalars out."""
