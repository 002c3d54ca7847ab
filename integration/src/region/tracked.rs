//! A value that knows whether somebody may have changed it since that was asked last, so that copies
//! are made of what is new and of nothing else.

use std::ops::{Deref, DerefMut};

/// Changed by whoever borrows it mutably.
#[derive(Clone, Debug, Default)]
pub struct Tracked<T> {
    value: T,
    touched: bool,
}

impl<T> Tracked<T> {
    /// New, and so changed.
    pub fn new(value: T) -> Self {
        Self { value, touched: true }
    }

    /// Whether it may have changed since the last time that this was asked.
    pub fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Tracked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.touched = true;
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_read_touches_nothing() {
        let mut list = Tracked::new(vec![1]);
        assert!(list.take_touched(), "it is new");
        assert_eq!((list.len(), list.take_touched()), (1, false));
        list.push(2);
        assert_eq!((list.take_touched(), list.take_touched()), (true, false));
    }
}
