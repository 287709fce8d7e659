//! A mapping file is refused with problems that can be shown, or it makes of any person something that can be written and
//! read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::config::Report;
use ziflow_scim_bridge::mapping::memory::Memory;
use ziflow_scim_bridge::mapping::{Mapping, examples};
use ziflow_scim_bridge::scim::resource::Resource;
use ziflow_scim_bridge::scim::schema::USER_TYPE;
use ziflow_scim_bridge::yaml::Problem;
use ziflow_scim_bridge::ziflow::model::User;

const PERSON: &str = include_str!("../person.json");
const USER: &str = include_str!("../user.json");

fuzz_target!(|text: &str| {
    let show = |problem: Problem| {
        let report = Report { file: "mapping.yaml".to_owned(), text: text.into(), problem };
        assert!(!report.render().is_empty());
    };
    match Mapping::compile(text) {
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.into_iter().for_each(show);
        }
        Ok((mapping, warnings)) => {
            warnings.into_iter().chain(examples::run(&mapping)).for_each(show);
            let person = Resource::from_part(serde_json::from_str(PERSON).unwrap(), &USER_TYPE).unwrap().0;
            let user = User::from_json(&serde_json::from_str(USER).unwrap()).unwrap();
            drop(mapping.create(&person));
            let shown = mapping.merge(Some(&person), &Memory::default(), &user);
            drop(mapping.update(&shown, &person));
            drop(mapping.grants("Brand Reviewers", Some("6f0d1c9e-0000-4000-8000-2b7d5e3a9c11")));
        }
    }
});
