"""A manifest's pictures as training sees them: pairs, order, augmentation, roughening; arrays to tensors and back."""
