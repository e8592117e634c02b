"""Anyone's history through the line's own stages: a CSV file in; scores, episodes and a picture out."""
