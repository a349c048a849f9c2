"""What an analyst is worth: exam charts whose truth is known, marks, figures, and the gates they open."""
