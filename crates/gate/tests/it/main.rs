//! Every stage of the gate at its borders, over the model store and a clock that tests own.

#[cfg(test)]
mod administer;
#[cfg(test)]
mod aside;
#[cfg(test)]
mod authenticate;
#[cfg(test)]
mod authorize;
#[cfg(test)]
mod circuit;
#[cfg(test)]
mod commit;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hops;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod overview;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod rate_limit;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod report;
#[cfg(test)]
mod validate;
