//! Places for what clients do at the same time: so many in all, and so many for each. Where all are taken, a client that
//! has far more than others can be made to give one back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::client::{Client, MODEST};

/// Places of one kind.
pub(crate) struct Places {
    in_all: usize,
    per_client: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    taken: usize,
    next: u64,
    /// Only clients that have a place; of theirs the one that was taken first first.
    by_client: HashMap<Client, BTreeMap<u64, CancellationToken>>,
}

impl Table {
    fn of(&self, client: Client) -> usize {
        self.by_client.get(&client).map_or(0, BTreeMap::len)
    }

    fn give_back(&mut self, client: Client, number: u64) -> Option<CancellationToken> {
        let own = self.by_client.get_mut(&client)?;
        let end = own.remove(&number)?;
        if own.is_empty() {
            self.by_client.remove(&client);
        }
        self.taken -= 1;
        Some(end)
    }

    /// Takes the oldest place of a client that has far more than the one who wants one.
    fn make_room(&mut self, newcomer: Client) {
        let fair = MODEST.max(self.of(newcomer) + 1);
        let greedy = self.by_client.iter().max_by_key(|(_, own)| own.len());
        let oldest = greedy.filter(|(_, own)| own.len() > fair).and_then(|(client, own)| {
            let (number, _) = own.first_key_value()?;
            Some((*client, *number))
        });
        if let Some(end) = oldest.and_then(|(client, number)| self.give_back(client, number)) {
            end.cancel();
        }
    }
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
        Arc::new(Self { in_all, per_client, table: Mutex::default() })
    }

    /// A place for a client, which comes back when it is dropped.
    pub(crate) fn take(self: &Arc<Self>, client: Client) -> Result<Place, Refused> {
        self.take_from(&mut self.table(), client)
    }

    /// The same; where all are taken, whoever has far more than this client [must go](Place::must_go) from one.
    pub(crate) fn take_or_make(self: &Arc<Self>, client: Client) -> Result<Place, Refused> {
        let mut table = self.table();
        if table.taken >= self.in_all && table.of(client) < self.per_client {
            table.make_room(client);
        }
        self.take_from(&mut table, client)
    }

    fn take_from(self: &Arc<Self>, table: &mut Table, client: Client) -> Result<Place, Refused> {
        if table.of(client) >= self.per_client {
            return Err(Refused::Greedy);
        }
        if table.taken >= self.in_all {
            return Err(Refused::Full);
        }
        table.taken += 1;
        table.next += 1;
        let (number, end) = (table.next, CancellationToken::new());
        table.by_client.entry(client).or_default().insert(number, end.clone());
        Ok(Place { places: Arc::clone(self), client, number, end })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.table().taken
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken.
pub(crate) struct Place {
    places: Arc<Places>,
    client: Client,
    number: u64,
    end: CancellationToken,
}

impl Place {
    /// Resolves when it was given to somebody else.
    pub(crate) async fn must_go(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().give_back(self.client, self.number);
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
        assert_eq!(places.taken(), 0);
        assert!(places.table().by_client.is_empty(), "nothing is left of who is gone");
    }

    #[test]
    fn a_client_that_holds_the_house_gives_its_oldest_place_to_a_modest_one() {
        let places = Places::new(2 * (MODEST + 1), MODEST + 1);
        let held: Vec<_> = (0..=MODEST)
            .flat_map(|_| [1, 2].map(|last| places.take_or_make(client(last)).unwrap()))
            .collect();
        let gone = || held.iter().filter(|place| place.end.is_cancelled()).count();
        assert_eq!(places.take_or_make(client(1)).err(), Some(Refused::Greedy));
        assert_eq!(places.take(client(3)).err(), Some(Refused::Full));
        assert_eq!(gone(), 0);
        let guests: Vec<_> = (0..4).map(|_| places.take_or_make(client(3))).collect();
        assert_eq!(guests.iter().filter(|place| place.is_ok()).count(), 2, "they are modest by then");
        assert_eq!((gone(), held[..2].iter().all(|place| place.end.is_cancelled())), (2, true));
        drop((held, guests));
        assert_eq!(places.taken(), 0);
    }
}
