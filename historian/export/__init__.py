"""`./millrace export`: history as files for analysts, a day each."""
