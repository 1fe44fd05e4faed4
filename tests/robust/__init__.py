"""What a user can get wrong, break or kill."""
