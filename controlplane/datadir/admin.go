package datadir

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
)

// AccessKey is an access key with its secret. It has no String method that shows
// the secret.
type AccessKey struct{ ID, Secret string }

// String hides the secret.
func (k AccessKey) String() string { return k.ID }

// GoString hides the secret.
func (k AccessKey) GoString() string { return k.ID }

// NewAccessKey makes an access key: an id of 80 random bits and a secret of 256,
// both of letters, digits, - and _.
func NewAccessKey() AccessKey {
	return AccessKey{
		ID:     "LKIA" + base32.StdEncoding.EncodeToString(randomBytes(10)),
		Secret: base64.RawURLEncoding.EncodeToString(randomBytes(32)),
	}
}

// credentialsForm is the AWS shared-credentials format, exactly as written here.
var credentialsForm = regexp.MustCompile(
	`^\[default\]\naws_access_key_id = ([A-Z0-9]{20})\naws_secret_access_key = ([A-Za-z0-9_-]{43})\n$`)

// AdminKey returns the access key in admin-credentials; it makes the file the
// first time. Give it to controlplane.FirstRun, which calls it only while there
// was never an administrator: the file is on the disk before the key is in the
// database, so a server that is killed between the two goes on from the file.
func (d *Dir) AdminKey() (AccessKey, error) {
	path := d.AdminCredentialsPath()
	text, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, _, err = createOnce(path, func() ([]byte, error) {
			k := NewAccessKey()
			return []byte("[default]\naws_access_key_id = " + k.ID + "\naws_secret_access_key = " + k.Secret + "\n"), nil
		})
	}
	if err != nil {
		return AccessKey{}, err
	}
	found := credentialsForm.FindSubmatch(text)
	if found == nil {
		return AccessKey{}, fmt.Errorf("%s is not as this program wrote it; remove it to have it made again", path)
	}
	return AccessKey{ID: string(found[1]), Secret: string(found[2])}, nil
}
