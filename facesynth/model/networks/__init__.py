"""The networks: encoders, StyleGAN2's generator and discriminator, pSp, the parser and the recogniser. Tensors in and out."""
