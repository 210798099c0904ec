"""What a selection is worth: curves over the budget, with bands."""
