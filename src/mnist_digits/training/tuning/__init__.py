"""The search for better values of a recipe's fields with Optuna, over any number of processes and machines."""
