//! `AdmissionReview` in, patch out.

pub mod review;
