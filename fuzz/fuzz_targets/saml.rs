//! Searches for a SAML document that breaks its reader.
#![cfg_attr(fuzzing, no_main)]

countersign_fuzz::target!(countersign_fuzz::saml::run);
