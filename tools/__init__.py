"""What happens before run time: checkpoints, export, training, comparisons. The runtime never imports this."""
