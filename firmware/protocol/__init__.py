"""What computer and board say to each other: messages, frames, patches; both sides of it."""
