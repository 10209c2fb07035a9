package store_test

import (
	"context"
	"errors"
	"testing"

	"latchkey/authz"
	"latchkey/controlplane/store"
)

func TestView_NewestReceipts(t *testing.T) {
	s, _ := newStore(t)
	insertUser(t, s, 0)
	web, other := insertStack(t, s, 1), insertStack(t, s, 2)
	mustWrite(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		for n, stack := range map[int]authz.StackID{1: web, 2: web, 3: web, 4: other} {
			err = errors.Join(err, tx.InsertInstance(ctx, store.Instance{
				ID: instanceID(n), Stack: stack, PublicKey: uuid(n), RegisteredBy: arn(0), Facts: store.Facts{Hostname: "host"},
			}))
		}
		return err
	})
	put := func(n int, serial int64) {
		t.Helper()
		err := s.Observe(t.Context(), func(o store.Observation) error {
			return o.PutReceipt(t.Context(), store.Receipt{Instance: instanceID(n), Epoch: 1, Serial: serial, ReceivedAt: noon, Body: []byte("{}")}, store.Facts{}, 9)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(1, 5)
	put(1, 3) // the newest is the one that came last
	put(2, 4)
	put(4, 6)
	mustRead(t, s, func(ctx context.Context, v store.View) error {
		got, err := v.NewestReceipts(ctx, web)
		if len(got) != 2 || got[instanceID(1)].Serial != 3 || got[instanceID(2)].Serial != 4 || !got[instanceID(2)].ReceivedAt.Equal(noon) {
			t.Errorf("got %+v", got)
		}
		none, errNone := v.NewestReceipts(ctx, stackID(9))
		if len(none) != 0 {
			t.Errorf("of a stack that is not there: %+v", none)
		}
		return errors.Join(err, errNone)
	})
}
