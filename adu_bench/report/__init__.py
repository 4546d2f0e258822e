"""What people look at: tables in every format, figures, the terminal, the web page, reports and committed pages."""
