"""What a call gave back: text, JSON, trees, images and links, however large."""
