//! A settings file whose `auth` changes, and the Ziflow behind.

use std::path::PathBuf;

use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, ziflow};

/// The settings beside `auth` stay as they are.
pub struct Place {
    pub folder: Folder,
    pub ziflow: Simulator,
}

impl Place {
    /// Without a settings file yet.
    pub async fn new() -> Self {
        let place = Self { folder: Folder::new(), ziflow: ziflow(&[]).await };
        place.folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
        place.folder.file("key", place.ziflow.key());
        place
    }

    pub fn auth(&self, auth: &str) -> PathBuf {
        let base_url = self.ziflow.base_url();
        let text = format!(
            "server: {{ listen: 127.0.0.1:0 }}\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ {auth} }}\n\
             ziflow: {{ base_url: '{base_url}', api_key_file: key, key_user_email: key@example.com }}\n\
             store: {{ url: 'memory:' }}\n"
        );
        self.folder.file("bridge.yaml", &text)
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("bridge.yaml")
    }

    pub async fn bridge(&self) -> Bridge {
        Bridge::configured(&self.file()).await
    }
}
