"""Planning a push: each row validated, its references found, decided on. Sends nothing."""
