"""What this machine has and lacks: every check imports what it looks at itself, so that one that fails is a finding."""
