package visits

import "testing"

func TestAdd(t *testing.T) {
	c := New()
	c.Add("home")
	if n := c.Add("home"); n != 2 {
		t.Errorf("the second visit is number %d", n)
	}
}
