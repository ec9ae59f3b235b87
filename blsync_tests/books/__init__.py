"""Made-up companies, what the marts should say of them, and models with one thing broken."""
