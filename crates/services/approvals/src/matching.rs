//! Whether those who said yes are enough: each of them counts for one of the groups asked for, and for no second one.

use std::collections::BTreeSet;

use countersign_model::Requirement;

/// Gives every place of the requirements to another one of the people, by their groups: for each person the index of the requirement
/// that they count for. `None` when that cannot be done. People are told apart by their position; give each once.
pub fn assign(requirements: &[Requirement], people: &[&BTreeSet<String>]) -> Option<Vec<Option<usize>>> {
    // A place is a requirement; one that asks for two has two.
    let places: Vec<usize> =
        requirements.iter().enumerate().flat_map(|(n, r)| std::iter::repeat_n(n, usize::from(r.people))).collect();
    let fits = |place: usize, person: usize| {
        let group = places.get(place).and_then(|n| requirements.get(*n)).map(|r| &r.group);
        matches!((group, people.get(person)), (Some(group), Some(groups)) if groups.contains(group))
    };
    let mut holder: Vec<Option<usize>> = vec![None; people.len()];
    for place in 0..places.len() {
        let mut tried = vec![false; people.len()];
        if !find(place, &fits, &mut holder, &mut tried) {
            return None;
        }
    }
    Some(holder.into_iter().map(|place| place.and_then(|p| places.get(p).copied())).collect())
}

/// Finds a person for a place; who has one already moves to another place if that can be (an augmenting path).
fn find(
    place: usize,
    fits: &dyn Fn(usize, usize) -> bool,
    holder: &mut Vec<Option<usize>>,
    tried: &mut Vec<bool>,
) -> bool {
    for person in 0..holder.len() {
        if tried.get(person).copied().unwrap_or(true) || !fits(place, person) {
            continue;
        }
        if let Some(t) = tried.get_mut(person) {
            *t = true;
        }
        let before = holder.get(person).copied().flatten();
        if before.is_none_or(|held| find(held, fits, holder, tried)) {
            if let Some(h) = holder.get_mut(person) {
                *h = Some(place);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn requirement(group: &str, people: u16) -> Requirement {
        Requirement { group: group.to_owned(), people }
    }

    fn groups(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|g| (*g).to_owned()).collect()
    }

    #[test]
    fn one_person_fills_one_place() {
        let (both, dba, security) = (groups(&["dba", "security", "lead"]), groups(&["dba"]), groups(&["security"]));
        let two = [requirement("dba", 1), requirement("security", 1)];
        assert_eq!(assign(&two, &[&both]), None, "three groups do not make two people");
        assert_eq!(
            assign(&two, &[&both, &dba]),
            Some(vec![Some(1), Some(0)]),
            "who could be either takes what is left"
        );
        assert_eq!(assign(&two, &[&both, &security]), Some(vec![Some(0), Some(1)]));
        assert_eq!(assign(&two, &[&dba, &dba]), None);
        assert_eq!(assign(&[requirement("dba", 2)], &[&both, &dba]), Some(vec![Some(0), Some(0)]));
        assert_eq!(assign(&[requirement("dba", 1)], &[&security, &dba, &both]), Some(vec![None, Some(0), None]));
    }

    /// Tries every way.
    fn by_force(places: &[String], people: &[BTreeSet<String>], used: &mut Vec<bool>) -> bool {
        let Some((first, rest)) = places.split_first() else { return true };
        for n in 0..people.len() {
            if !used[n] && people[n].contains(first) {
                used[n] = true;
                let found = by_force(rest, people, used);
                used[n] = false;
                if found {
                    return true;
                }
            }
        }
        false
    }

    proptest! {
        #[test]
        fn an_assignment_is_found_when_there_is_one(
            wanted in prop::collection::vec(0u16..3, 3),
            people in prop::collection::vec(prop::collection::btree_set("[abc]", 0..3), 0..6),
        ) {
            let requirements: Vec<Requirement> =
                ["a", "b", "c"].iter().zip(&wanted).filter(|(_, n)| **n > 0).map(|(g, n)| requirement(g, *n)).collect();
            let places: Vec<String> = requirements
                .iter()
                .flat_map(|r| std::iter::repeat_n(r.group.clone(), usize::from(r.people)))
                .collect();
            let found = assign(&requirements, &people.iter().collect::<Vec<_>>());
            prop_assert_eq!(found.is_some(), by_force(&places, &people, &mut vec![false; people.len()]));
            if let Some(found) = found {
                for (n, r) in requirements.iter().enumerate() {
                    let holders: Vec<usize> = (0..people.len()).filter(|p| found[*p] == Some(n)).collect();
                    prop_assert_eq!(holders.len(), usize::from(r.people));
                    prop_assert!(holders.iter().all(|p| people[*p].contains(&r.group)));
                }
            }
        }
    }
}
