"""`./millrace report`: a shift, a day or a week of a part of the plant on one page."""
