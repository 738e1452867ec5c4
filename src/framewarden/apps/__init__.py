"""What a person starts. Imports every other room; nothing imports it."""
