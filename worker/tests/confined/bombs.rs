//! Files that ask for more than they are.
