"""What universal style transfer is measured against: the optimisers and the feed-forward net, by their papers."""
