"""Host resources that declare what is in a store."""
