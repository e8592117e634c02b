"""State that released versions left behind, and what the present code makes of it; see docs/how-to/prove-state-compatibility.md."""
