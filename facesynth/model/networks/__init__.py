"""Networks: encoders, StyleGAN2's generator and discriminator, pSp, face parser, face recogniser; tensors in and out."""
