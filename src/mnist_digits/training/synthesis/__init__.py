"""Training pictures made from MNIST's digits: single pictures (`digits`) and whole pages (`pages`)."""
