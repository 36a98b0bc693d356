"""What universal style transfer is measured against: the losses of the optimisers, and the descent on them."""
