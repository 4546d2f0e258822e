"""From predictions to metrics, with numpy and pandas alone."""
