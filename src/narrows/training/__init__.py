"""How a backbone and its bottleneck are learned: teacher, distillation, rate; ends in a bundle."""
