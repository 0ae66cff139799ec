//! Places for what clients do at the same time: so many in all, and so many for each.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;

use crate::client::Client;

/// Places of one kind.
pub(crate) struct Places {
    in_all: usize,
    per_client: usize,
    taken: AtomicUsize,
    /// Only clients that have a place.
    by_client: DashMap<Client, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// All are taken.
    Full,
    /// This client has as many as one may have.
    Greedy,
}

impl Places {
    pub(crate) fn new(in_all: usize, per_client: usize) -> Arc<Self> {
        Arc::new(Self { in_all, per_client, taken: AtomicUsize::new(0), by_client: DashMap::new() })
    }

    /// A place for a client, which comes back when it is dropped.
    pub(crate) fn take(self: &Arc<Self>, client: Client) -> Result<Place, Refused> {
        {
            let mut own = self.by_client.entry(client).or_default();
            if *own >= self.per_client {
                return Err(Refused::Greedy);
            }
            *own += 1;
        }
        // From here on dropping it gives back what it has.
        let place = Place { places: Arc::clone(self), client };
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.in_all {
            return Err(Refused::Full);
        }
        Ok(place)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A place that is taken.
pub(crate) struct Place {
    places: Arc<Places>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(mut own) = self.places.by_client.get_mut(&self.client) {
            *own -= 1;
        }
        self.places.by_client.remove_if(&self.client, |_, own| *own == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::at([192, 0, 2, last].into())
    }

    #[test]
    fn a_greedy_client_is_refused_before_all_places_are_taken_and_others_are_not() {
        let places = Places::new(3, 2);
        let held = [places.take(client(1)), places.take(client(1))];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(places.take(client(1)).err(), Some(Refused::Greedy));
        let other = places.take(client(2));
        assert!(other.is_ok());
        assert_eq!(places.take(client(3)).err(), Some(Refused::Full));
        assert_eq!(places.taken(), 3);
        drop(held);
        assert!(places.take(client(1)).is_ok());
        drop(other);
        assert_eq!((places.taken(), places.by_client.len()), (0, 0), "nothing is left of who is gone");
    }
}
