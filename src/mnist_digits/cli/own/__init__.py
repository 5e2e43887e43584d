"""What people have of their own: data to train on, pictures to measure by, and a hand to teach."""
