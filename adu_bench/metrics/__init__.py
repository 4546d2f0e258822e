"""From predictions to numbers: pure numpy and pandas, recomputable anywhere in seconds."""
