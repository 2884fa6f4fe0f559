"""What all commands share: flags, printing, errors."""
